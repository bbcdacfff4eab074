_base_ = 'videomae-l-lora_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
