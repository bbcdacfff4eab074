_base_ = 'videomae-s-lora_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
